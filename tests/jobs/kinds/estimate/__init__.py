"""Tests of the estimate: rules, engines, pipeline, prices."""
