"""Who is here: roster, announcements, failure detection, static peers."""
