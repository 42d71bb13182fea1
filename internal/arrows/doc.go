// Package arrows checks that the packages import each other only as the picture in docs/design.md allows.
package arrows
