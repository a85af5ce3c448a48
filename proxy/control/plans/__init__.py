"""From files to what workers run: read, posted, confirmed, remembered."""
