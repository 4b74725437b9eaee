"""What comes back for the next training: requests that are kept, and what callers say of them. Off until asked for."""
