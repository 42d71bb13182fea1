// Package slots is what a client of a Redis Cluster must know of its slots: which one a key is in, what a node says when
// a slot is another's (Referral), and who serves which, as one of the nodes has it (Map, which a Scout asks for).
package slots

import "strings"

// Count is how many slots the keys of a Redis Cluster are spread over.
const Count = 1 << 14

// Of is the slot of a key: CRC16 of its hash tag, or else of the whole of it
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func Of(key string) uint16 {
	var crc uint16
	tag := hashTag(key)
	for k := range len(tag) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^tag[k]]
	}
	return crc % Count
}

// hashTag is what decides a key's slot: what is between the first opening brace
// and the next closing one, if there is anything.
func hashTag(key string) string {
	if _, behind, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(behind, "}"); closed && tag != "" {
			return tag
		}
	}
	return key
}

// crcTable is that of CRC16-XMODEM: polynomial 0x1021, highest bit first.
var crcTable = func() (table [256]uint16) {
	for b := range table {
		crc := uint16(b) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[b] = crc
	}
	return table
}()
