package postgres

// Queue returns how many appends wait for their group, and whether the log is being closed.
func (l *Log) Queue() (waiting int, closing bool) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return len(l.queue.waiting), l.queue.closed
}
