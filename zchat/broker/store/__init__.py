"""The stores: where the rooms' logs are kept."""
