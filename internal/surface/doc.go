// Package surface records the exported names of the packages that users import, in
// surface.txt: a change to them is seen in review. It also sees to it that every one
// of the core is used by somebody.
package surface
