"""What puts Nightdesk on machines: the embedded development stack and the templates for servers."""
