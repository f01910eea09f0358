package pushservice

// ReadAll reads the body of a request.
var ReadAll = readAll

// LookupProblem words the error of [Lookup].
var LookupProblem = lookupProblem
