namespace DistTrain.Runtime;

/// <summary>shortcut(x) + body(x); without a shortcut, x + body(x). Children <c>body</c> and <c>shortcut</c>.</summary>
public sealed class Residual : Module
{
    private readonly Module _body;
    private readonly Module? _shortcut;

    /// <param name="body">Keeps the shape, or gives the shortcut's.</param>
    /// <param name="shortcut">Null passes the input on.</param>
    public Residual(Module body, Module? shortcut = null)
    {
        _body = Register("body", body);
        if (shortcut is not null) _shortcut = Register("shortcut", shortcut);
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable body = _body.Forward(input);
        Variable shortcut = _shortcut?.Forward(input) ?? input;
        Variable sum = AddFunction.Apply(body, shortcut);
        if (body != input) body.Release();
        if (shortcut != input) shortcut.Release();
        return sum;
    }
}
