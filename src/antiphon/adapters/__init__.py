"""Concrete things behind the ports, one file each."""
