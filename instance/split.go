package instance

import "strings"

// SplitURLs splits a list of servers, such as an environment variable has it, into
// what engine.Open takes: at white space and at commas. A comma inside a URL, such as
// between the hosts of sentinels, is one that no new URL follows.
func SplitURLs(list string) []string {
	var urls []string
	for _, field := range strings.Fields(list) {
		within := false // a URL, rather than a host:port
		for _, part := range strings.Split(field, ",") {
			switch begins := strings.Contains(part, "://") || strings.HasPrefix(part, "/"); {
			case part == "":
			case within && !begins:
				urls[len(urls)-1] += "," + part
			default:
				urls = append(urls, part)
				within = strings.Contains(part, "://")
			}
		}
	}
	return urls
}
