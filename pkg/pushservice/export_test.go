package pushservice

// ReadAll reads the body of a request.
var ReadAll = readAll
