"""``mhsa replay --script``: one failure as a stand-alone script, for a bug report."""
