"""What the customer reads: the estimate as a page, a PDF and a certificate, with the company's branding."""
