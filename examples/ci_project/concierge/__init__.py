"""A small application: the front desk of a hotel, which looks things up and answers."""
