"""What runs compiled code: the loader, the compiled model, threads, the cache on disk."""
