"""Files as text in which every value knows its place, before anybody asks what it means."""
