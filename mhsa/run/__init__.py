"""Child processes: started, limited, listened to and ended."""
