"""Documents for the customer: the estimate as a page, a PDF and a certificate, with the company's branding."""
