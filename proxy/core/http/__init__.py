"""What an HTTP message is and may say, and what becomes of it on its way through: heads, bodies, cookies, places."""
