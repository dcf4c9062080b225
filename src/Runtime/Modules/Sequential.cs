namespace DistTrain.Runtime;

/// <summary>Modules applied one after another; what one hands to the next is freed as soon as nothing needs it. Children are named <c>0</c>, <c>1</c>, ... unless named.</summary>
public sealed class Sequential : Module
{
    /// <summary>Children named by their place.</summary>
    public Sequential(params IReadOnlyList<Module> modules)
    {
        ArgumentNullException.ThrowIfNull(modules);
        for (int i = 0; i < modules.Count; i++) Register(i.ToString(System.Globalization.CultureInfo.InvariantCulture), modules[i]);
    }

    /// <summary>Children with names of their own.</summary>
    public Sequential(params IReadOnlyList<(string Name, Module Module)> modules)
    {
        ArgumentNullException.ThrowIfNull(modules);
        foreach ((string name, Module module) in modules) Register(name, module);
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable current = input;
        for (int i = 0; i < Children.Count; i++)
        {
            Variable next = Children[i].Module.Forward(current);
            if (next != current && current != input) current.Release();
            current = next;
        }
        return current;
    }
}
