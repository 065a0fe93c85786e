"""What pages share: forms, tables, cards, the sidebar, uploads."""
