"""What every service shares: settings, messages, streams, catalog, objects, health, logs."""
