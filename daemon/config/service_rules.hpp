#pragma once

// What must fit together across the sections of one service. Private to this folder.

#include "daemon/config/config.hpp"
#include "daemon/config/yaml_reader.hpp"

namespace shiftd {

// Fills in what follows from other sections: members' names, names of checks, the source of counts, the
// stages of a service that names none.
void complete(ServiceConfig& service);

// Reports what does not fit to the document, at the key that would have to change.
void check_rules(const ServiceConfig& service, yaml::Document& document);

}  // namespace shiftd
