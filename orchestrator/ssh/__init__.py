"""The way to a machine over SSH, and what runs beside it on the same connection. Nothing else knows paramiko."""
