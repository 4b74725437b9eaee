"""What comes in and goes out at a front door: events, requests, replies, the page."""
