"""Files that are sent to a group: how they are found and read, named here, and written."""
