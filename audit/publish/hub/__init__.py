"""Publishing: look at what is there, plan, show, apply; a second apply finds nothing to do."""
