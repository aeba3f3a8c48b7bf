"""What `/openapi.json` says: each route described beside others of its family, and the document made of them."""
