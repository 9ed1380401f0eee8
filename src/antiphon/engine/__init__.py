"""Drives core through ports: intake, driver, journal, runner."""
