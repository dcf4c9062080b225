using System.CommandLine;
using System.CommandLine.Parsing;

namespace DistTrain.Cli;

/// <summary>What went wrong, in the words of the command line.</summary>
internal static class FailureText
{
    /// <summary>An exception's message without the runtime's note on which parameter of which method it was.</summary>
    public static string Of(Exception failure)
    {
        string note = failure is ArgumentException { ParamName: { } name } ? $" (Parameter '{name}')" : "";
        return note.Length > 0 && failure.Message.EndsWith(note, StringComparison.Ordinal) ? failure.Message[..^note.Length] : failure.Message;
    }

    /// <summary>The parser's error; where a value is no number, without the names of .NET's types.</summary>
    public static string Of(ParseError error)
    {
        if (error.SymbolResult is not OptionResult { Option: { } option, Tokens: [{ Value: { } text }] } || NumberName(option.ValueType) is not { } expected) return error.Message;
        return $"{option.Name} {text}: expected {expected}";
    }

    private static string? NumberName(Type type) => Type.GetTypeCode(Nullable.GetUnderlyingType(type) ?? type) switch
    {
        TypeCode.Int32 => $"a whole number of at most {int.MaxValue}",
        TypeCode.Int64 => "a whole number",
        TypeCode.UInt64 => "a whole number from 0",
        TypeCode.Single or TypeCode.Double => "a number",
        _ => null,
    };
}
