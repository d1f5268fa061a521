"""Documents to text that knows where it stands: PDF pages by their text, scans and pictures by OCR."""
