"""Traffic to tasks worth a specialist: read, sort by wording, put together by what the answers say, judge."""
