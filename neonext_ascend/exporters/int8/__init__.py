"""A graph whose products are int8, in three forms of one decision: QDQ, the vendor's deploy form, its record."""
