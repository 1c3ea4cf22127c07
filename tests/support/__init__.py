"""What tests share: a scripted upstream, a raw client, the proxy as a process, the corpus."""
