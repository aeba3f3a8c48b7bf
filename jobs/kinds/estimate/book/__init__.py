"""The company's price book, held for matching: which words name a thing, and which item a line means."""
