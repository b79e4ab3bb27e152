"""The JSON document of a run, read back into plain records: what reports are made from."""
