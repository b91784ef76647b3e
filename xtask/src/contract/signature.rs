//! Types and functions as the contract writes them.

use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId};

/// `header: func(name: string) -> option<list<u8>>`
pub(super) fn of(resolve: &Resolve, function: &Function) -> String {
    let given = if is_method(function) { &function.params[1..] } else { &function.params };
    let given: Vec<_> =
        given.iter().map(|param| format!("{}: {}", param.name, name(resolve, &param.ty))).collect();
    let gives = function.result.map(|ty| format!(" -> {}", name(resolve, &ty))).unwrap_or_default();
    format!("{}: func({}){gives}", function.item_name(), given.join(", "))
}

/// Those of the contract's own types that a function names, each once. A method's own resource is not among them.
pub(super) fn types(resolve: &Resolve, function: &Function) -> Vec<TypeId> {
    let skipped = usize::from(is_method(function));
    let given = function.params.iter().skip(skipped).map(|param| &param.ty);
    types_in(resolve, given.chain(&function.result))
}

/// Those that types name, each once.
pub(super) fn types_in<'a>(resolve: &Resolve, types: impl IntoIterator<Item = &'a Type>) -> Vec<TypeId> {
    let mut found = Vec::new();
    types.into_iter().for_each(|ty| collect(resolve, ty, &mut found));
    found
}

/// The type itself, where an interface uses it of another one.
pub(super) fn origin(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(next)) = resolve.types[id].kind {
        id = next;
    }
    id
}

/// `option<list<u8>>`
pub(super) fn name(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return primitive(ty).to_owned() };
    match &resolve.types[*id].name {
        Some(name) => name.clone(),
        None => anonymous(resolve, &resolve.types[*id].kind),
    }
}

/// What a type without a name is made of, or what one with a name stands for.
pub(super) fn anonymous(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |ty: &Type| name(resolve, ty);
    let or_nothing = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), name);
    match kind {
        TypeDefKind::Option(ty) => format!("option<{}>", name(ty)),
        TypeDefKind::List(ty) => format!("list<{}>", name(ty)),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(result) if result.err.is_none() => format!("result<{}>", or_nothing(&result.ok)),
        TypeDefKind::Result(result) => {
            format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err))
        }
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(&Type::Id(*id))),
        TypeDefKind::Handle(Handle::Own(id)) => name(&Type::Id(*id)),
        TypeDefKind::Type(ty) => name(ty),
        // The contract has none of these without a name; the page's test would show one.
        other => other.as_str().to_owned(),
    }
}

fn collect(resolve: &Resolve, ty: &Type, found: &mut Vec<TypeId>) {
    let Type::Id(id) = ty else { return };
    if resolve.types[*id].name.is_some() {
        let id = origin(resolve, *id);
        if !found.contains(&id) {
            found.push(id);
        }
        return;
    }
    match &resolve.types[*id].kind {
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => {
            collect(resolve, ty, found);
        }
        TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| collect(resolve, ty, found)),
        TypeDefKind::Result(result) => {
            result.ok.iter().chain(&result.err).for_each(|ty| collect(resolve, ty, found));
        }
        TypeDefKind::Handle(Handle::Borrow(id) | Handle::Own(id)) => {
            collect(resolve, &Type::Id(*id), found);
        }
        _ => {}
    }
}

fn is_method(function: &Function) -> bool {
    function.kind.resource().is_some()
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "type",
    }
}
