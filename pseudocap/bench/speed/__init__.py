"""Race each part against its named alternative."""
