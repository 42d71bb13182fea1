package slots

import "strings"

// Beside is the name of a key of some kind beside another: it begins with the prefix, and is in the same slot. (No name is,
// for a key with a closing brace that closes no hash tag.)
func Beside(prefix, kind, key string) string {
	if HasTag(key) {
		return prefix + kind + ":" + key
	}
	return prefix + kind + ":{" + key + "}"
}

// HasTag reports whether a part of the key decides its slot: what is between the first opening brace and the next closing
// one.
func HasTag(key string) bool {
	_, behind, _ := strings.Cut(key, "{")
	return strings.IndexByte(behind, '}') > 0
}
