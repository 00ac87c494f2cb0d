"""pyACL: an OM on the device."""
