"""What a call is given besides tokens and masks: switches and sizes."""
