// Package surface records the exported names of the packages that users import, in
// surface.txt: a change to them is seen in review.
package surface
