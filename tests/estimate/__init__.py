"""The estimate: rules, engines, evidence, prices, totals and the pipeline that joins them."""
