"""What the pages do, without a line of HTML: each module is one use of a cache, and knows nothing of the web."""
