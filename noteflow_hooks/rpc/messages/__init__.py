"""Between messages and values: parsing, converting, pages, and the details of errors."""
