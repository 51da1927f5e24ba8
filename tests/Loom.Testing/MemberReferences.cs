using System.Reflection;
using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace Loom.Testing;

/// <summary>One use of a member in the code of an assembly: which namespace and type uses it, and what it is ("System.Threading.Tasks.Task::Run").</summary>
public readonly record struct MemberUse(string Namespace, string Type, string Member);

/// <summary>
/// Reads every member that the method bodies of an assembly refer to, from its metadata and IL: what T3 forbids is then found however it is written
/// (extension method, using static, lambda), and a namespace may be allowed what others are not.
/// </summary>
public static class MemberReferences
{
    private static readonly SortedDictionary<short, OpCode> OpCodesByValue = new(
        typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static).Select(f => (OpCode)f.GetValue(null)!).ToDictionary(o => o.Value));

    public static IReadOnlyList<MemberUse> Of(Assembly assembly)
    {
        using FileStream file = File.OpenRead(assembly.Location);
        using var image = new PEReader(file);
        MetadataReader reader = image.GetMetadataReader();
        List<MemberUse> uses = [];
        foreach (TypeDefinition type in reader.TypeDefinitions.Select(reader.GetTypeDefinition))
        {
            // A lambda or an async method lives in a nested type without a namespace: its outermost type says where it belongs.
            TypeDefinition outer = type;
            while (!outer.GetDeclaringType().IsNil) outer = reader.GetTypeDefinition(outer.GetDeclaringType());
            (string space, string name) = (reader.GetString(outer.Namespace), reader.GetString(outer.Name));
            foreach (MethodDefinition method in type.GetMethods().Select(reader.GetMethodDefinition).Where(m => m.RelativeVirtualAddress != 0))
            {
                byte[] code = image.GetMethodBody(method.RelativeVirtualAddress).GetILBytes() ?? [];
                uses.AddRange(Tokens(code).Select(token => Describe(reader, token)).Where(m => m.Length > 0).Select(m => new MemberUse(space, name, m)));
            }
        }
        return [.. uses.Distinct()];
    }

    private static IEnumerable<EntityHandle> Tokens(byte[] code)
    {
        int at = 0;
        while (at < code.Length)
        {
            short value = code[at++];
            if (value == 0xFE) value = (short)(0xFE00 | code[at++]);
            OpCode operation = OpCodesByValue[value];
            if (operation.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineType or OperandType.InlineTok)
                yield return MetadataTokens.EntityHandle(BitConverter.ToInt32(code, at));
            at += operation.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(code, at),
                _ => 4,
            };
        }
    }

    private static string Describe(MetadataReader reader, EntityHandle handle) => handle.Kind switch
    {
        HandleKind.MethodSpecification => Describe(reader, reader.GetMethodSpecification((MethodSpecificationHandle)handle).Method),
        HandleKind.MemberReference => DescribeMember(reader, reader.GetMemberReference((MemberReferenceHandle)handle)),
        HandleKind.TypeReference or HandleKind.TypeSpecification => TypeName(reader, handle),
        _ => "",
    };

    private static string DescribeMember(MetadataReader reader, MemberReference member)
    {
        string parent = TypeName(reader, member.Parent);
        return parent.Length == 0 ? "" : $"{parent}::{reader.GetString(member.Name)}";
    }

    private static string TypeName(MetadataReader reader, EntityHandle handle)
    {
        switch (handle.Kind)
        {
            case HandleKind.TypeReference:
                TypeReference type = reader.GetTypeReference((TypeReferenceHandle)handle);
                string name = reader.GetString(type.Name);
                return type.ResolutionScope.Kind == HandleKind.TypeReference ? $"{TypeName(reader, type.ResolutionScope)}.{name}" : $"{reader.GetString(type.Namespace)}.{name}";
            case HandleKind.TypeSpecification:
                BlobReader signature = reader.GetBlobReader(reader.GetTypeSpecification((TypeSpecificationHandle)handle).Signature);
                // GENERICINST (CLASS | VALUETYPE) type …: the open type is what a rule names. Arrays and type parameters name nothing.
                if (signature.ReadByte() != 0x15) return "";
                _ = signature.ReadByte();
                return TypeName(reader, signature.ReadTypeHandle());
            default:
                return "";
        }
    }
}
