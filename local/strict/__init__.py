"""What Lambda forbids, forbidden here too: memory, CPU, folders, files, processes (`npm start -- --strict`)."""
