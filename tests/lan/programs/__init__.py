"""Programs that run on hosts of the lab, what steers them, and measurements to be started by hand."""
