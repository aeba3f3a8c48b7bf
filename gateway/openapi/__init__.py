"""`/openapi.json`: each route described beside others of its family, and the document made of them."""
