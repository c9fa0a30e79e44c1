"""Views paint Steps. They never change anything; what a person clicks in them leaves as a signal."""
