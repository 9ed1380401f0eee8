"""What a unit of work costs: a model's stand-in, a load client, a meter and a report. `python -m bench --help`."""
